;; Grows its table until it gets no more, and gives up.
(table $table 1 funcref)
(elem declare func $itself)
(func $itself (export "create") (param i32) (result i32)
    (loop $again
        (br_if $again (i32.ne (i32.const -1)
            (table.grow $table (ref.func $itself) (i32.const 1000)))))
    unreachable)

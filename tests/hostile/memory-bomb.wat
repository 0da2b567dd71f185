;; Grows its memory a page at a time, uses it, and gives up when it gets no more.
(func (export "create") (param i32) (result i32)
    (local $page i32)
    (loop $again
        (local.set $page (memory.grow (i32.const 1)))
        (if (i32.eq (local.get $page) (i32.const -1)) (then unreachable))
        (i32.store (i32.shl (local.get $page) (i32.const 16)) (i32.const 1))
        br $again)
    unreachable)

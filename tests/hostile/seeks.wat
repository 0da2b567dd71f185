;; Looks for what another invocation left: in all the memory that it can get, in a
;; table that it grows, in its globals and in its locals. Traps if there is any.
(memory (export "memory") 2)
(table $table 10 funcref)
(global $mark (mut i64) (i64.const 0))
(func $locals (result i64)
    (local i64 i64 i64 i64 i64 i64 i64 i64)
    local.get 0 local.get 1 local.get 2 local.get 3
    local.get 4 local.get 5 local.get 6 local.get 7
    i64.or i64.or i64.or i64.or i64.or i64.or i64.or)
(func (export "create") (param i32) (result i32)
    (local $at i32)
    (if (i64.ne (i64.const 0) (i64.or (global.get $mark) (call $locals))) (then unreachable))
    (drop (table.grow $table (ref.null func) (i32.const 5000)))
    (loop $again
        (if (i32.eqz (ref.is_null (table.get $table (local.get $at)))) (then unreachable))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $at) (table.size $table))))
    (loop $again (br_if $again (i32.ne (i32.const -1) (memory.grow (i32.const 64)))))
    (local.set $at (i32.const 65536))
    (loop $again
        (if (i64.ne (i64.const 0) (i64.load (local.get $at))) (then unreachable))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $again (i32.lt_u (local.get $at) (i32.shl (memory.size) (i32.const 16)))))
    (i32.const 64))

;; Never comes by a place where it could be interrupted, save between instructions
;; that take very long.
(memory (export "memory") 3584)
(func (export "create") (param i32) (result i32)
    (loop $again
        (memory.fill (i32.const 65536) (i32.const 1) (i32.const 234815488))
        br $again)
    unreachable)

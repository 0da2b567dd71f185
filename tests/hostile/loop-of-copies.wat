;; The same with copies, which overlap.
(memory (export "memory") 3584)
(func (export "create") (param i32) (result i32)
    (loop $again
        (memory.copy (i32.const 65537) (i32.const 65536) (i32.const 234815000))
        br $again)
    unreachable)

;; Answers a model of 200 MiB.
(memory (export "memory") 3584)
(func (export "create") (param i32) (result i32)
    (i32.store (i32.const 68) (i32.const 65536))
    (i32.store (i32.const 72) (i32.const 209715200))
    (i32.const 64))

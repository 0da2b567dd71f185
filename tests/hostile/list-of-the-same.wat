;; Answers a page of a thousand models that are one and the same large text.
(memory (export "memory") 100)
(func (export "list") (param i32) (result i32)
    (local $at i32)
    (memory.fill (i32.const 131072) (i32.const 0x20) (i32.const 1048576))
    (loop $again
        (i32.store offset=65536 (local.get $at) (i32.const 131072))
        (i32.store offset=65540 (local.get $at) (i32.const 1048576))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $again (i32.lt_u (local.get $at) (i32.const 8000))))
    (i32.store (i32.const 260) (i32.const 65536))
    (i32.store (i32.const 264) (i32.const 1000))
    (i32.const 256))

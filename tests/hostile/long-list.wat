;; Answers a page of half a billion models.
(func (export "list") (param i32) (result i32)
    (i32.store (i32.const 260) (i32.const 2048))
    (i32.store (i32.const 264) (i32.const 0x20000000))
    (i32.const 256))

;; Answers a model whose end, by the arithmetic of 32 bits, lies before its beginning.
(func (export "create") (param i32) (result i32)
    (i32.store (i32.const 68) (i32.const 0xfffffff0))
    (i32.store (i32.const 72) (i32.const 0x20))
    (i32.const 64))

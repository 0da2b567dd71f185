;; Answers a model that lies outside of its memory.
(func (export "create") (param i32) (result i32)
    (i32.store (i32.const 68) (i32.const 0x7ffffff0))
    (i32.const 64))

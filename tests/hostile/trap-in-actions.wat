;; Traps in each action, in another way each time.
(table $functions 1 funcref)
(func (export "create") (param i32) (result i32) unreachable)
(func (export "read") (param i32) (result i32) (i32.div_u (local.get 0) (i32.const 0)))
(func (export "update") (param i32) (result i32) (i32.trunc_f32_u (f32.const nan)))
(func (export "delete") (param i32) (result i32)
    (call_indirect $functions (result i32) (i32.const 0)))
(func (export "list") (param i32) (result i32) (i32.load (i32.const -8)))

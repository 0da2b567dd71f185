;; Logs at a level that the contract does not have.
(import "formwork:handler/logging@0.1.0" "log" (func $log (param i32 i32 i32)))
(func (export "create") (param i32) (result i32)
    (call $log (i32.const 99) (i32.const 2048) (i32.const 0))
    (i32.const 64))

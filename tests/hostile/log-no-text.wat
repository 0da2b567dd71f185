;; Logs bytes that are no text.
(import "formwork:handler/logging@0.1.0" "log" (func $log (param i32 i32 i32)))
(data (i32.const 2048) "\ff\fe\80")
(func (export "create") (param i32) (result i32)
    (call $log (i32.const 2) (i32.const 2048) (i32.const 3))
    (i32.const 64))

;; Logs what lies outside of its memory.
(import "formwork:handler/logging@0.1.0" "log" (func $log (param i32 i32 i32)))
(func (export "create") (param i32) (result i32)
    (call $log (i32.const 2) (i32.const 0x7ffffff0) (i32.const 100))
    (i32.const 64))

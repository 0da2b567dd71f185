;; Calls the host where the host asks it for room.
(import "formwork:handler/logging@0.1.0" "log" (func $log (param i32 i32 i32)))
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (call $log (i32.const 0) (i32.const 2048) (i32.const 0))
    (i32.const 40000))

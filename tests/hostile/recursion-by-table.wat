;; Recurses for ever by way of a table, with large frames.
(type $function (func (param i64 i64 i64 i64 i64 i64 i64 i64) (result i64)))
(table $functions 2 funcref)
(elem (i32.const 0) $even $odd)
(func $even (type $function)
    (call_indirect $functions (type $function)
        (local.get 1) (local.get 2) (local.get 3) (local.get 4)
        (local.get 5) (local.get 6) (local.get 7) (i64.add (local.get 0) (i64.const 1))
        (i32.const 1))
    local.get 0 local.get 1 local.get 2 local.get 3
    i64.add i64.add i64.add i64.add)
(func $odd (type $function)
    (call_indirect $functions (type $function)
        (local.get 7) (local.get 0) (local.get 1) (local.get 2)
        (local.get 3) (local.get 4) (local.get 5) (local.get 6)
        (i32.const 0))
    local.get 4 local.get 5 local.get 6 local.get 7
    i64.add i64.add i64.add i64.add)
(func (export "create") (param i32) (result i32)
    (i32.wrap_i64 (call $even
        (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)
        (i64.const 5) (i64.const 6) (i64.const 7) (i64.const 8))))

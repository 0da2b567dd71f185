;; Recurses for ever where the host asks it for room.
(func $deeper (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (i32.add (i32.const 1)
        (call $deeper (local.get 0) (local.get 1) (local.get 2) (local.get 3))))

(component (import "wasi:clocks/wall-clock@0.3.0" (instance)) (instance $i) (export "formwork:handler/resource@0.1.0" (instance $i)))

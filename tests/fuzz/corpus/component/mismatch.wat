(component (instance $i) (export "formwork:handler/resource@0.1.0" (instance $i)))

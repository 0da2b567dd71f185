(component (instance $i) (export "formwork:handler/resource@9.1.0" (instance $i)))

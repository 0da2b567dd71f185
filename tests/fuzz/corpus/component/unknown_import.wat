(component (import "acme:net/dns@1.0.0" (instance)) (instance $i) (export "formwork:handler/resource@0.1.0" (instance $i)))

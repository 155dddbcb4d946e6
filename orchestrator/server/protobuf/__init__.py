"""Reading bodies in Kubernetes' protobuf form, which kubectl and other typed clients send for built-in kinds."""

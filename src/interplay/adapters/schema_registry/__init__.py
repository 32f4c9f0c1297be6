"""Values in Avro and Protobuf, by the schemas of a registry: the only code that imports their libraries."""

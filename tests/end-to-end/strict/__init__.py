"""The strict wire: what AWS would not take, or would not send, fails the story in which it went over the wire.

The emulators take nearly everything and answer what they like. Here each request of the product and each answer to it is held
against AWS's own models: botocore's shapes, the Service Authorization Reference, the documented limits and the events' schemas.
"""

"""The measurement core: residual, derivatives, floors, sanity, audit."""

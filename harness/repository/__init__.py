"""The backup repository: catalogue, writer, reader and the pipeline between them and the store."""

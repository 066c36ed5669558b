// Where the vendor's platform has a wrapper of its own; Portcullis runs apps without one.

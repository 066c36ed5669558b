// Where the vendor's platform has a loader of its own; Portcullis runs apps without one.

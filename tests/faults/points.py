"""The crash points that are hit by tests beside `test_crashpoints`, which looks that none is left out."""

QUICK, SLOW, CHECKED = "to the end", "/slow 1 to the end", "/slow 2 to the end"  # the last one comes to a checkpoint
LEASING = "worker.before_lease"
# The text whose run is hit there, and how many workers it loses: none where it is over.
EXECUTING = {
    "worker.after_lease": (QUICK, 1),
    "worker.after_start": (QUICK, 1),
    "worker.after_beat": ("/slow 3 to the end", 1),
    "worker.before_append": (SLOW, 1),
    "worker.after_append": (SLOW, 1),
    "worker.before_checkpoint": (CHECKED, 1),
    "worker.after_checkpoint": (CHECKED, 1),
    "worker.before_finish": (QUICK, 1),
    "worker.after_finish": (QUICK, 0),
}
WAITING = ("worker.before_wait", "worker.after_wait")
INTERRUPTED = ("worker.before_let_go", "worker.after_let_go")
TAKING_OVER = ("worker.before_takeover", "worker.after_takeover")
EXPIRING = ("worker.before_expiry", "worker.after_expiry")
UPLOADING = ("file.after_begin", "file.before_rename", "file.after_bytes", "file.after_ready")
DELETING = ("file.after_row_gone", "file.after_bytes_gone")
MAKING = ("file.after_hold",)
# How often a receiver is told by a worker that is killed there, and the next one.
TELLING = {"webhook.after_claim": 1, "webhook.before_mark": 2, "webhook.after_mark": 1}

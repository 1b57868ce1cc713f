"""Pictures drawn from run folders; never imports torch, and nothing that trains or measures."""

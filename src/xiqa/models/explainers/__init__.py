"""What is trained to explain one classifier: generators and a soft decision tree, and their cards.

Start with `card`.
"""

"""pUCT as a recursion over small objects, one game at a time."""

import math


class Node:
    def __init__(self, embedding, prior, value, reward, discount):
        self.embedding, self.prior, self.value = embedding, prior, value
        self.reward, self.discount = reward, discount
        self.children, self.num_visits, self.value_sum = {}, 0, 0.0

    @property
    def mean(self):
        return self.value_sum / self.num_visits


class SlowSearch:
    """`evaluate(embedding, action)` gives (embedding, prior, value, reward, discount), the prior a
    list with None where an action is not allowed. `paths` keeps the moves of each simulation.
    """

    def __init__(self, root, evaluate, init=1.25, base=19652.0):
        self.evaluate, self.init, self.base = evaluate, init, base
        embedding, prior, value = root
        self.root = Node(embedding, prior, value, 0.0, -1.0)
        self.root.num_visits, self.root.value_sum = 1, value
        self.paths = []

    def simulate(self):
        path = []
        self._visit(self.root, path)
        self.paths.append(path)

    def _visit(self, node, path):
        """The value of one more simulation through this node, for its player."""
        node_value = self._below(node, path)
        node.num_visits += 1
        node.value_sum += node_value
        return node_value

    def _below(self, node, path):
        action = self._choose(node)
        path.append(action)
        child = node.children.get(action)
        if child is None:
            child = Node(*self.evaluate(node.embedding, action))
            node.children[action] = child
            value = 0.0 if child.discount == 0 else child.value
            child.num_visits, child.value_sum = 1, value
        elif child.discount == 0:
            value = 0.0
            child.num_visits += 1
        else:
            value = self._visit(child, path)
        return child.reward + child.discount * value

    def _choose(self, node):
        best, highest = None, -math.inf
        for action, prior in enumerate(node.prior):
            if prior is None:
                continue
            child = node.children.get(action)
            visits = child.num_visits if child else 0
            q = child.reward + child.discount * child.mean if child else node.mean
            rate = self.init + math.log((node.num_visits + self.base + 1) / self.base)
            score = q + rate * math.sqrt(node.num_visits) * prior / (1 + visits)
            if score > highest:
                best, highest = action, score
        return best

    def visits(self):
        children = self.root.children
        count = len(self.root.prior)
        return [children[a].num_visits if a in children else 0 for a in range(count)]

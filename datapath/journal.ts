/** Changes to maps and sets that can be taken back: a change of a slice takes effect as a whole or not at all. */
export class Journal {
  readonly #undo: (() => void)[] = []

  set<Key, Value>(map: Map<Key, Value>, key: Key, value: Value): void {
    const before = map.get(key)
    const had = before !== undefined || map.has(key)
    map.set(key, value)
    this.#undo.push(() => {
      if (had) map.set(key, before as Value) // proof: `had` says that the key had this value
      else map.delete(key)
    })
  }

  delete<Key, Value>(map: Map<Key, Value>, key: Key): void {
    const before = map.get(key)
    if (before === undefined && !map.has(key)) return
    map.delete(key)
    this.#undo.push(() => map.set(key, before as Value)) // proof: the key was there
  }

  add<Item>(set: Set<Item>, item: Item): void {
    if (set.has(item)) return
    set.add(item)
    this.#undo.push(() => set.delete(item))
  }

  remove<Item>(set: Set<Item>, item: Item): void {
    if (set.delete(item)) this.#undo.push(() => set.add(item))
  }

  /** Takes every change back, last first. */
  rollBack(): void {
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) undo()
  }
}

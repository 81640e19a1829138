/** Those who want to hear of one kind of event, in the order in which they asked. */
export class Listeners<Event> {
  readonly #all = new Set<(event: Event) => void>()

  /** Returns the function that ends the listening. */
  add(listener: (event: Event) => void): () => void {
    // A wrapper, so that the same function may listen twice and each is ended by itself.
    const entry = (event: Event): void => listener(event)
    this.#all.add(entry)
    return () => void this.#all.delete(entry)
  }

  /** Calls every listener. What one throws goes to the caller: it is a defect, not something to handle. */
  tell(event: Event): void {
    for (const listener of this.#all) listener(event)
  }
}

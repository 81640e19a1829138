/** What remembers the lease of this host over lives of the agent, and what sees to its end when the agent does not. */
export interface LeaseKeeper {
  /**
   * Until when the lease of this boot lasts, on the agent's clock. `none`: this boot has had none. `damaged`: it cannot be
   * told, which counts as ended.
   */
  load(): number | 'none' | 'damaged'
  /** Written when it returns; a later life of the agent and the guard see it. Throws if it cannot be written. */
  save(untilMonotonicMs: number): void
  /** From now on the guard ends this set with the lease. To be called before anything of it starts. Idempotent. */
  watch(setId: string): void
  /** Nothing of the set is here any more, or it may stay whatever happens. Idempotent. */
  unwatch(setId: string): void
  /** Sets that are watched now. */
  watched(): Iterable<string>
  /** Within this time after the end of the lease no watched set runs, whatever becomes of the agent. Null: nothing sees to it now. */
  stopsWithinMs(): number | null
}

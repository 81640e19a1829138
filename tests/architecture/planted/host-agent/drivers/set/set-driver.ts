export interface SetDriver { stop(): void }

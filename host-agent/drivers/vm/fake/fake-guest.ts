/** What a guest does in the fake. Times are those of the clock that the driver was given. */
export interface FakeGuest {
  /** From its start until it has booted. */
  readonly bootMs: number
  /** Null: it ignores the power button. One that has not booted ignores it too. */
  readonly powerOffMs: number | null
  /** Written to the serial port once it has booted; `boots` counts the boots from this disk. */
  readonly greeting: (boots: number) => string
}

/** Says `READY` and how often its disk has been booted, and obeys. */
export const obedientGuest: FakeGuest = {
  bootMs: 5,
  powerOffMs: 5,
  greeting: (boots) => `READY ${boots}\r\n`,
}

export const stubbornGuest: FakeGuest = { ...obedientGuest, powerOffMs: null }

/** What every guest of the fake does on these letters on its serial port; anything else it writes back. */
export const guestKeys = {
  o: 'power-off',
  p: 'panic',
  f: 'flood',
} as const satisfies Record<string, string>

export function isGuestKey(letter: string): letter is keyof typeof guestKeys {
  return Object.hasOwn(guestKeys, letter)
}

enum Colour { red } // breaks: erasable
export const colour: any = Colour.red // breaks: erasable
export const words = ['enum Colour {', 'any', `Date.now() ${colour}`, /process.env/] // no code, no violation
export const nowMs = Date.now() // breaks: injected
export const later = new Date(nowMs)
export const today = new Date() // breaks: injected
export const inside = `${Math.random()}` // breaks: injected
export const home = process.env['HOME'] // breaks: injected
// oxlint-disable-next-line no-eval // breaks: lint-reason
export const started = performance.now() // breaks: injected

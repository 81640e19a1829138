/** How single values look in tables and sentences. */
import { stripVTControlCharacters } from 'node:util'
import type { Clock } from '@nubo/base'

/** Text of others (names, reasons, what programs printed) must not steer the terminal or break a table. */
export function plainText(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return stripVTControlCharacters(text).replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ')
}

/** '45 s', '3 min', '5 h', '12 d': rounded down, never below 0. */
export function age(clock: Clock, sinceMs: number): string {
  return roundDuration(clock.nowMs() - sinceMs)
}

/** 'in 14 min' or '3 min ago'. */
export function fromNow(clock: Clock, atMs: number): string {
  const leftMs = atMs - clock.nowMs()
  return leftMs >= 0 ? `in ${roundDuration(leftMs)}` : `${roundDuration(-leftMs)} ago`
}

function roundDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}

/** '1 set', '3 sets' */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** '10m', '2h', '1d', '30s' → milliseconds; undefined if it is no duration. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9})(ms|s|m|min|h|d)$/.exec(text.trim())
  if (match === null) return undefined
  const unitMs = { ms: 1, s: 1_000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 }
  const unit = match[2] as keyof typeof unitMs // proof: the pattern allows exactly these
  return Number(match[1]) * unitMs[unit]
}

/** Terminal columns that a text takes; East Asian wide characters and emoji take two, combining marks none. */
export function displayWidth(text: string): number {
  let width = 0
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0
    if (/\p{Mark}|\u200d/u.test(char)) continue
    width += isWide(code) ? 2 : 1
  }
  return width
}

function isWide(code: number): boolean {
  if (code < 0x1100) return false
  return (
    code <= 0x115f ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0xffe0 && code <= 0xffe6) ||
    (code >= 0x1f300 && code <= 0x1faff) ||
    (code >= 0x20000 && code <= 0x3fffd)
  )
}

/** Cut to `widthMax` columns with '…' at the end. */
export function cutToWidth(text: string, widthMax: number): string {
  if (displayWidth(text) <= widthMax) return text
  let cut = ''
  let width = 1
  for (const char of text) {
    width += displayWidth(char)
    if (width > widthMax) break
    cut += char
  }
  return `${cut.trimEnd()}…`
}

/** Parsers of option values; a bad one is a usage error that names its limit. */
import { InvalidArgumentError, Option } from 'commander'
import { parseBytes, parseCpuMillis } from '@nubo/base'
import { parseDuration } from '../output/values.ts'

export function cpuMillis(text: string): number {
  const millis = parseCpuMillis(text)
  if (millis === undefined) throw new InvalidArgumentError('Give a number of cores, as 0.5 or 2.')
  return millis
}

export function memoryBytes(text: string): number {
  const bytes = parseBytes(text)
  if (bytes === undefined) throw new InvalidArgumentError('Give a size, as 64MiB or 1.5GiB.')
  return bytes
}

export function durationMs(text: string): number {
  const ms = parseDuration(text)
  if (ms === undefined) throw new InvalidArgumentError('Give a duration, as 30s, 10m, 2h or 1d.')
  return ms
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('Give a whole number.')
  return Number(text)
}

/** 'A=b' collected into a record; the value may hold further '='. */
export function keyValue(
  text: string,
  before: Record<string, string> = {},
): Record<string, string> {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('Give KEY=VALUE.')
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) }
}

/** A choice out of several, which help and completion show. */
export function choice(flags: string, description: string, choices: readonly string[]): Option {
  return new Option(flags, description).choices(choices)
}

/** For changes that are operations: their result is awaited unless this is given. */
export const noWait = [
  '--no-wait',
  'return the operation at once, do not wait for its end',
] as const

import { concatBytes, readText, readU16, readU32, readU8, textBytes, uintBytes } from './bytes.ts'
import {
  classlessRoutesBytes,
  readClasslessRoutes,
  type ClasslessRoute,
} from './classless-routes.ts'
import { domainNamesBytes, readDomainNames } from './domain-names.ts'
import { DhcpEncodeError } from './errors.ts'
import { ADDRESS_BYTES, addressBytes, readAddress } from './ipv4-address.ts'

/** One kind of value of an option. */
export interface OptionCodec<Value> {
  readonly code: number
  /** Undefined for bytes that cannot be such a value. The bytes are the value's own from then on. */
  readonly read: (bytes: Uint8Array) => Value | undefined
  /** Throws DhcpEncodeError, with `what` as the name of the option. */
  readonly write: (value: Value, what: string) => Uint8Array
}

export function addressOption(code: number): OptionCodec<string> {
  return {
    code,
    read: (bytes) => (bytes.length === ADDRESS_BYTES ? readAddress(bytes, 0) : undefined),
    write: addressBytes,
  }
}

/** One address or more. */
export function addressesOption(code: number): OptionCodec<readonly string[]> {
  return {
    code,
    read: (bytes) => listOf(bytes, ADDRESS_BYTES, readAddress),
    write: (addresses, what) => concatBytes(filled(addresses, what).map(addressBytes)),
  }
}

/** Numbers of `byteCount` bytes each, one or more. */
export function numbersOption(code: number, byteCount: 1 | 2): OptionCodec<readonly number[]> {
  return {
    code,
    read: (bytes) => listOf(bytes, byteCount, byteCount === 1 ? readU8 : readU16),
    write: (numbers, what) =>
      concatBytes(filled(numbers, what).map((number) => uintBytes(number, byteCount, what))),
  }
}

function listOf<Item>(
  bytes: Uint8Array,
  itemBytes: number,
  read: (bytes: Uint8Array, at: number) => Item,
): readonly Item[] | undefined {
  if (bytes.length === 0 || bytes.length % itemBytes !== 0) return undefined
  return Array.from({ length: bytes.length / itemBytes }, (_, index) =>
    read(bytes, index * itemBytes),
  )
}

function filled<Item>(items: readonly Item[], what: string): readonly Item[] {
  if (items.length === 0) throw new DhcpEncodeError(`${what}: an empty list; leave the option out`)
  return items
}

export function numberOption(
  code: number,
  { byteCount, min = 0 }: { byteCount: 2 | 4; min?: number },
): OptionCodec<number> {
  return {
    code,
    read(bytes) {
      if (bytes.length !== byteCount) return undefined
      const value = byteCount === 2 ? readU16(bytes, 0) : readU32(bytes, 0)
      return value < min ? undefined : value
    },
    write(value, what) {
      if (value < min) throw new DhcpEncodeError(`${what}: ${value} is below ${min}`)
      return uintBytes(value, byteCount, what)
    },
  }
}

/** NULs at the end are not part of the text; some clients send one (RFC 2132, 2). */
export function textOption(code: number): OptionCodec<string> {
  return {
    code,
    read(bytes) {
      let end = bytes.length
      while (end > 0 && bytes[end - 1] === 0) end -= 1
      const text = readText(bytes.subarray(0, end))
      return text === '' || text.includes('\0') ? undefined : text
    },
    write(text, what) {
      if (text === '') throw new DhcpEncodeError(`${what}: an empty text; leave the option out`)
      return textBytes(text, what)
    },
  }
}

export function opaqueOption(code: number, { bytesMin = 1 } = {}): OptionCodec<Uint8Array> {
  return {
    code,
    read: (bytes) => (bytes.length < bytesMin ? undefined : bytes),
    write(bytes, what) {
      if (bytes.length < bytesMin) {
        throw new DhcpEncodeError(`${what}: ${bytes.length} bytes; at least ${bytesMin}`)
      }
      return bytes
    },
  }
}

/** An option that says something by being there. */
export function flagOption(code: number): OptionCodec<true> {
  return {
    code,
    read: (bytes) => (bytes.length === 0 ? true : undefined),
    write: () => new Uint8Array(0),
  }
}

export function domainNamesOption(code: number): OptionCodec<readonly string[]> {
  return { code, read: readDomainNames, write: domainNamesBytes }
}

export function classlessRoutesOption(code: number): OptionCodec<readonly ClasslessRoute[]> {
  return { code, read: readClasslessRoutes, write: classlessRoutesBytes }
}

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { FileError, whyFile } from '../errors.ts'

/** As much as one request may hold. */
const TEXT_BYTES_MAX = 1024 * 1024

/** A piece of text that describes something, and where it comes from. */
export interface SourceText {
  /** As a person calls it: the path that was given, or 'the input'. */
  readonly name: string
  /** That paths inside of it are relative to. */
  readonly folder: string
  readonly text: string
}

/** A file, every `.yaml`, `.yml` and `.json` of a folder in order of names, or the input for '-'. Throws FileError. */
export async function readTexts(
  path: string,
  stdin: AsyncIterable<unknown>,
): Promise<SourceText[]> {
  if (path === '-') return [{ name: 'the input', folder: '.', text: await readInput(stdin) }]
  const files = isFolder(path)
    ? readdirSync(path)
        .filter((name) => /\.(ya?ml|json)$/.test(name))
        .toSorted()
        .map((name) => join(path, name))
    : [path]
  if (files.length === 0) throw new FileError(`${path} holds no .yaml, .yml or .json file.`)
  return files.map((file) => ({ name: file, folder: join(file, '..'), text: readFile(file) }))
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch (cause) {
    throw new FileError(`${path} cannot be read: ${whyFile(cause)}.`, cause)
  }
}

function readFile(file: string): string {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new FileError(`${file} cannot be read: ${whyFile(cause)}.`, cause)
  }
  if (text.length > TEXT_BYTES_MAX) throw new FileError(`${file} is longer than 1 MiB.`)
  return text
}

async function readInput(stdin: AsyncIterable<unknown>): Promise<string> {
  let text = ''
  for await (const piece of stdin) {
    text += String(piece)
    if (text.length > TEXT_BYTES_MAX) throw new FileError('The input is longer than 1 MiB.')
  }
  return text
}

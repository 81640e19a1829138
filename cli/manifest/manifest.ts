import { resolve } from 'node:path'
import type { CallRequest } from '@nubo/client'
import type { ManifestDocument, ManifestKind } from '@nubo/contracts'
import { UsageError } from '../errors.ts'
import {
  isRecord,
  parseDocuments,
  problemsOf,
  refuse,
  withoutUnits,
  type Problem,
  type SourceDocument,
} from './documents.ts'
import { readTexts } from './read-text.ts'

export type ManifestBody = CallRequest<'planCreate'>['body']['manifest']

export interface ImageFile {
  readonly name: string
  readonly file: string
  readonly command: string[] | undefined
}

/** A manifest as its files describe it. */
export interface ReadManifest {
  /** As the API takes it; images are added when it is known what of them is there. */
  readonly body: Omit<ManifestBody, 'images'>
  readonly images: readonly string[]
  readonly files: readonly ImageFile[]
  /** 'shop.yaml:12' of a thing; undefined if it is in none of the files. */
  readonly placeOf: (kind: ManifestKind, name: string) => string | undefined
}

const NEXT = 'every field is described in docs/guides/plan-and-apply.md'
const lists = ['networks', 'subnets', 'ports', 'images', 'sets'] as const
const kindOf = {
  networks: 'network',
  subnets: 'subnet',
  ports: 'port',
  images: 'image',
  sets: 'set',
} as const satisfies Record<(typeof lists)[number], ManifestKind>

/** All documents of all paths as one manifest. Throws UsageError or FileError that name file and line. */
export async function readManifest(
  paths: readonly string[],
  stdin: AsyncIterable<unknown>,
): Promise<ReadManifest> {
  const documents: SourceDocument[] = []
  for (const path of paths)
    for (const text of await readTexts(path, stdin)) documents.push(...(await parseDocuments(text)))
  const parts: { document: SourceDocument; part: ManifestDocument }[] = []
  for (const document of documents) parts.push({ document, part: await checkDocument(document) })
  const all = <Key extends (typeof lists)[number]>(key: Key): ManifestDocument[Key] =>
    // proof: of one key the lists have one type
    parts.flatMap(({ part }) => part[key] as never[]) as ManifestDocument[Key]
  return {
    body: {
      name: nameOf(parts),
      networks: all('networks'),
      subnets: all('subnets'),
      ports: all('ports'),
      sets: all('sets'),
    },
    images: all('images').map(({ name }) => name),
    files: parts.flatMap(({ document, part }) =>
      part.images.flatMap(({ name, file, command }) =>
        file === undefined ? [] : [{ name, command, file: resolve(document.source.folder, file) }],
      ),
    ),
    placeOf: placesOf(parts),
  }
}

async function checkDocument(document: SourceDocument): Promise<ManifestDocument> {
  const { manifestDocument } = await import('@nubo/contracts')
  const problems: Problem[] = []
  const { value } = document
  const { sets } = isRecord(value) ? value : {}
  const plain =
    isRecord(value) && Array.isArray(sets)
      ? { ...value, sets: sets.map((set, at) => withoutUnits(set, ['sets', at], problems)) }
      : value
  if (problems.length > 0) refuse(document, problems, NEXT)
  const checked = manifestDocument.safeParse(plain)
  if (!checked.success) refuse(document, problemsOf(checked.error.issues), NEXT)
  return checked.data
}

function nameOf(parts: readonly { document: SourceDocument; part: ManifestDocument }[]): string {
  const named = parts.filter(({ part }) => part.name !== undefined)
  const names = new Set(named.map(({ part }) => part.name))
  const [name, other] = names
  if (name === undefined)
    throw new UsageError(
      'The manifest has no name.',
      "add a line such as 'name: shop'; what it applies is remembered under it",
    )
  if (other === undefined) return name
  const places = named.map(
    ({ document, part }) => `${part.name ?? ''} (${document.placeOf(['name'])})`,
  )
  throw new UsageError(
    `The files are parts of different manifests: ${places.join(', ')}.`,
    'apply them one by one',
  )
}

function placesOf(
  parts: readonly { document: SourceDocument; part: ManifestDocument }[],
): ReadManifest['placeOf'] {
  const places = new Map<string, string>()
  for (const { document, part } of parts) {
    for (const key of lists) {
      for (const [at, one] of part[key].entries()) {
        const name = 'network' in one && key === 'subnets' ? `${one.network}/${one.name}` : one.name
        places.set(`${kindOf[key]} ${name}`, document.placeOf([key, at]))
      }
    }
  }
  return (kind, name) => places.get(`${kind} ${name}`)
}

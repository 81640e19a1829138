import { isBuiltin } from 'node:module'
import { posix } from 'node:path'
import type { Import, SourceFile } from './source-file.ts'
import type { Tree } from './tree.ts'

export type Target =
  | { readonly at: 'file'; readonly path: string }
  | { readonly at: 'builtin'; readonly name: string }
  | { readonly at: 'external'; readonly name: string }
  | { readonly at: 'nowhere'; readonly why: string }

/** Where an import leads. What cannot be followed is `nowhere`, which is a violation: the rules fail closed. */
export function resolveImport(tree: Tree, file: SourceFile, { specifier }: Import): Target {
  if (specifier === undefined)
    return { at: 'nowhere', why: 'a computed import cannot be checked; write the path out' }
  if (specifier.startsWith('./') || specifier.startsWith('../')) {
    const path = posix.join(posix.dirname(file.path), specifier)
    return tree.has(path) ? { at: 'file', path } : { at: 'nowhere', why: `no file ${path}` }
  }
  if (specifier.startsWith('node:') && isBuiltin(specifier))
    return { at: 'builtin', name: specifier }
  if (isBuiltin(specifier)) return { at: 'nowhere', why: `write node:${specifier}` }
  const name = /^(@[a-z0-9-]+\/)?[a-z0-9][a-z0-9._-]*/.exec(specifier)?.[0]
  if (name === undefined) return { at: 'nowhere', why: `${specifier}: aliases are not used` }
  return resolvePackage(tree, file, { specifier, name })
}

function resolvePackage(
  tree: Tree,
  file: SourceFile,
  { specifier, name }: { specifier: string; name: string },
): Target {
  const own = tree.packageOf(file.path)
  if (own === undefined) return { at: 'nowhere', why: 'this file lies in no package' }
  if (tree.packages.get(own)?.dependencies.has(name) !== true)
    return { at: 'nowhere', why: `${name} is not a dependency in ${own}/package.json` }
  const workspace = [...tree.packages].find(([, manifest]) => manifest.name === name)
  if (workspace === undefined) {
    if (name.startsWith('@nubo/')) return { at: 'nowhere', why: `there is no package ${name}` }
    return { at: 'external', name }
  }
  const [folder, { exports }] = workspace
  const entry = exports.get(`.${specifier.slice(name.length)}`)
  if (entry === undefined) return { at: 'nowhere', why: `${name} does not export ${specifier}` }
  const path = posix.join(folder, entry)
  return tree.has(path) ? { at: 'file', path } : { at: 'nowhere', why: `no file ${path}` }
}

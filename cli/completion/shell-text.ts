/** Texts as shells read them. Bash, zsh and fish agree on single quotes, but for how a quote is put into them. */
import type { CompletionNode, Source } from './model.ts'

export function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}

/** 'names:set', 'words:a b', 'files', 'nothing': what the functions of each script understand. */
export function sourceText(source: Source): string {
  switch (source.from) {
    case 'names':
      return `names:${source.noun}`
    case 'words':
      return `words:${source.words.join(' ')}`
    case 'files':
    case 'nothing':
      return source.from
  }
}

/** `case` branches that bash and zsh share: what there is at a place of the command tree. */
export function describeCases(nodes: readonly CompletionNode[]): string {
  return nodes.map((node) => `    ${quote(node.path)})\n${assignments(node)} ;;\n`).join('')
}

function assignments(node: CompletionNode): string {
  const flags = node.options.flatMap((option) => option.flags)
  const positionals = node.positionals.map((source) => quote(sourceText(source)))
  return [
    `      flags=${quote(flags.join(' '))}`,
    `      positionals=(${positionals.join(' ')})`,
    `      repeats=${node.repeatsLast ? quote('yes') : quote('')}`,
  ].join('\n')
}

/** `case` branches: the source of an option's value. */
export function valueCases(nodes: readonly CompletionNode[]): string {
  return nodes
    .flatMap((node) =>
      node.options.flatMap(({ flags, value }) =>
        value === undefined
          ? []
          : [
              `    ${flags.map((flag) => quote(`${node.path} ${flag}`)).join('|')}) echo ${quote(sourceText(value))} ;;\n`,
            ],
      ),
    )
    .join('')
}

/** One `case` pattern that holds every path of the tree. */
export function pathPattern(nodes: readonly CompletionNode[]): string {
  return nodes.map(({ path }) => quote(path)).join('|')
}

import type { CompletionNode, CompletionOption, Source } from './model.ts'

/** A completion script for fish 3. */
export function fishScript(nodes: readonly CompletionNode[]): string {
  const valueFlags = nodes.flatMap((node) =>
    node.options
      .filter(({ value }) => value !== undefined)
      .flatMap(({ flags }) => flags.map((flag) => quote(`${node.path} ${flag}`))),
  )
  return `# fish completion of nubo. Use it with: nubo completion fish | source

set -g __nubo_places ${nodes.map(({ path }) => quote(path)).join(' ')}
set -g __nubo_value_options ${valueFlags.join(' ')}

function __nubo_where # the place in the command tree, and how many positionals follow it
    set -l place ''
    set -l count 0
    set -l option ''
    set -l line (commandline -opc)
    for at in $line[2..-1]
        if test -n "$option"
            set option ''
        else if test "$at" = --
            echo other
            return
        else if string match -q -- '-*' $at
            if contains -- "$place $at" $__nubo_value_options
                set option $at
            end
        else if test $count -eq 0; and contains -- "$place/$at" $__nubo_places
            set place "$place/$at"
        else
            set count (math $count + 1)
        end
    end
    echo "$place"
    echo $count
end

function __nubo_at -a place # whether the line is there
    set -l at (__nubo_where)
    test "$at[1]" = "$place"
end

function __nubo_positional -a place first last # whether a positional of these comes next
    set -l at (__nubo_where)
    test "$at[1]" = "$place"; and test $at[2] -ge $first; and test $at[2] -le $last
end

function __nubo_names -a noun # its names, in the project that the line names
    set -l line (commandline -opc)
    set -l project
    for i in (seq (count $line))
        if test "$line[$i]" = --project
            set project --project $line[(math $i + 1)]
        end
    end
    $line[1] $noun ls $project -o name 2>/dev/null </dev/null
end

complete -c nubo -f
${nodes.map(nodeLines).join('')}`
}

/** In fish a backslash is special in single quotes too. */
function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)}'`
}

function nodeLines(node: CompletionNode): string {
  const at = quote(`__nubo_at ${quote(node.path)}`)
  const commands = node.commands.map(
    ({ name, summary }) => `complete -c nubo -n ${at} -a ${name} -d ${quote(summary)}\n`,
  )
  const positionals = node.positionals.map((source, index) => {
    const isLast = index === node.positionals.length - 1
    const last = isLast && node.repeatsLast ? 999 : index
    const condition = quote(`__nubo_positional ${quote(node.path)} ${index} ${last}`)
    return source.from === 'nothing'
      ? ''
      : `complete -c nubo -n ${condition} ${candidates(source)}\n`
  })
  const options = node.options.map((option) => optionLine(at, option))
  return [...commands, ...positionals, ...options].join('')
}

function optionLine(at: string, { flags, summary, value }: CompletionOption): string {
  const names = flags.map((flag) =>
    flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
  )
  const takes = value === undefined ? '' : ` -r ${candidates(value)}`
  return `complete -c nubo -n ${at} ${names.join(' ')}${takes} -d ${quote(summary)}\n`
}

function candidates(source: Source): string {
  switch (source.from) {
    case 'names':
      return `-f -a ${quote(`(__nubo_names ${source.noun})`)}`
    case 'words':
      return `-f -a ${quote(source.words.join(' '))}`
    case 'files':
      return '-F'
    case 'nothing':
      return '-f'
  }
}

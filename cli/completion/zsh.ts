import type { CompletionNode } from './model.ts'
import { describeCases, pathPattern, quote, valueCases } from './shell-text.ts'

/** A completion script for zsh 5; `path` and `commands` are names that zsh itself uses. */
export function zshScript(nodes: readonly CompletionNode[]): string {
  const commandCases = nodes
    .map((node) => {
      const items = node.commands.map(({ name, summary }) => quote(`${name}:${summary}`))
      return `    ${quote(node.path)}) verbs=(${items.join(' ')}) ;;\n`
    })
    .join('')
  return `#compdef nubo
# zsh completion of nubo. Use it with: source <(nubo completion zsh), or save it as _nubo in a folder of $fpath.

_nubo_describe() { # place: sets verbs, flags, positionals, repeats
  case $1 in
${commandCases}  esac
  case $1 in
${describeCases(nodes)}  esac
}

_nubo_value() { # place, option: where its value comes from; nothing if it takes none
  case "$1 $2" in
${valueCases(nodes)}  esac
}

_nubo_is_place() {
  case $1 in (${pathPattern(nodes)}) return 0 ;; esac
  return 1
}

${functions}`
}

/** What is the same whatever the tree is. */
const functions = `_nubo_names() { # noun: its names, in the project that the line names
  local -a project
  local i
  for ((i = 2; i < CURRENT; i++)); do
    if [[ $words[i] == --project ]]; then project=(--project $words[i+1]); fi
  done
  $words[1] $1 ls $project -o name 2>/dev/null </dev/null
}

_nubo_reply() { # source
  case $1 in
    names:*) compadd -- \${(f)"$(_nubo_names \${1#names:})"} ;;
    words:*) compadd -- \${=1#words:} ;;
    files) _files ;;
  esac
}

_nubo() {
  local place='' option='' count=0 i at flags='' repeats=''
  local -a verbs positionals
  for ((i = 2; i < CURRENT; i++)); do
    at=$words[i]
    if [[ -n $option ]]; then option=''; continue; fi
    case $at in
      --) _normal; return ;; # what follows belongs to another program
      -*) if [[ -n $(_nubo_value "$place" "$at") ]]; then option=$at; fi ;;
      *) if ((count == 0)) && _nubo_is_place "$place/$at"; then place=$place/$at; else count=$((count + 1)); fi ;;
    esac
  done
  if [[ -n $option ]]; then
    _nubo_reply "$(_nubo_value "$place" "$option")"
    return
  fi
  _nubo_describe "$place"
  if [[ $words[CURRENT] == -* ]]; then
    _nubo_reply "words:$flags"
  elif (( \${#verbs} > 0 )); then
    _describe 'command' verbs
  else
    if [[ -n $repeats ]] && ((count >= \${#positionals})); then count=$((\${#positionals} - 1)); fi
    _nubo_reply "\${positionals[count+1]}"
  fi
}

if [[ \${funcstack[1]} == _nubo ]]; then _nubo "$@"; else compdef _nubo nubo; fi
`

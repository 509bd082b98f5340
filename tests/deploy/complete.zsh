# What zsh offers where the key Tab is pressed twice, in a terminal of its own:
#   zsh -f complete.zsh DIRECTORY DUMP LINE WORD…
# with the directory of the completions and a file for zsh's own list of them. Ends when all words were
# offered; never where one is not.

zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; LISTMAX=1000; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -d $2"
zpty -w shell 'bindkey "^I" complete-word; zstyle ":completion:*" list-grouped false'
zpty -w shell 'print READY'
zpty -r -m shell shown '*READY*READY*'
zpty -w -n shell "$3"$'\t\t'
offered=
for word in "${@:4}"; do
  # Between the spaces of a table, or what moves the cursor.
  pattern="*[^a-z-]${word}[^a-z-]*"
  [[ $offered == ${~pattern} ]] || zpty -r -m shell shown $pattern || exit 1
  offered+=$shown
done

#compdef lab
# Completion of lab for zsh: source <(lab completion zsh)
_lab() {
  local line=${BUFFER[1,CURSOR]}
  local -a found
  found=("${(@f)$(TERM=dumb lab "[suggest:${#line}]" "$line" 2>/dev/null)}")
  (( ${#found} )) && compadd -a found
}
compdef _lab lab

// completion: scripts made from the parser's own verbs and flags.
#include "output.hpp"
#include "verbs.hpp"

#include "jevons/core/error.hpp"
#include "jevons/core/json_reader.hpp"

namespace jevons::cli {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string verb_list() {
  std::vector<std::string> names;
  for (const Verb& verb : verbs()) names.push_back(verb.name);
  return joined(names);
}

std::string bash_script() {
  std::string out =
      "# bash completion of jevons: eval \"$(jevons completion bash)\"\n_jevons() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} words=\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    words='" +
      verb_list() +
      "'\n  else\n"
      "    case $previous in\n"
      "      --hw|--accelerator) words=$(jevons list hardware --ids 2>/dev/null) ;;\n"
      "      --model) words=$(jevons list models --ids 2>/dev/null) ;;\n"
      "      --stack) words=$(jevons list stacks --ids 2>/dev/null) ;;\n"
      "      hardware) words=$(jevons list hardware --ids 2>/dev/null) ;;\n"
      "      model) words=$(jevons list models --ids 2>/dev/null) ;;\n"
      "      stack) words=$(jevons list stacks --ids 2>/dev/null) ;;\n"
      "      list) words='models hardware stacks prices claims acceptance' ;;\n"
      "      show) words='model hardware stack price claim routing' ;;\n"
      "      schema) words=$(jevons schema 2>/dev/null) ;;\n"
      "      completion) words='bash zsh fish' ;;\n"
      "      *) case ${COMP_WORDS[1]} in\n";
  for (const Verb& verb : verbs()) {
    out += "        " + verb.name + ") words='" + joined(verb.flags) + "'";
    if (verb.name == "train" || verb.name == "serve" || verb.name == "explain" ||
        verb.name == "compare") {
      out +=
          "; [ \"$COMP_CWORD\" -eq 2 ] && words=\"$words $(jevons list models --ids 2>/dev/null)\"";
    }
    out += " ;;\n";
  }
  out +=
      "      esac ;;\n    esac\n  fi\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
      "  [ ${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- \"$current\"))\n"
      "  return 0\n}\ncomplete -o filenames -F _jevons jevons\n";
  return out;
}

std::string fish_quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text)
    out += c == '\'' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  return out + "'";
}

std::string fish_script() {
  std::string out = "# fish completion of jevons: jevons completion fish | source\n";
  for (const Verb& verb : verbs()) {
    out += "complete -c jevons -n __fish_use_subcommand -f -a " + verb.name + " -d " +
           fish_quoted(verb.help) + "\n";
    for (const std::string& flag : verb.flags) {
      std::string line = "complete -c jevons -n '__fish_seen_subcommand_from " + verb.name +
                         "' -l " + flag.substr(2);
      if (flag == "--hw" || flag == "--accelerator")
        line += " -x -a '(jevons list hardware --ids)'";
      if (flag == "--model") line += " -x -a '(jevons list models --ids)'";
      if (flag == "--stack") line += " -x -a '(jevons list stacks --ids)'";
      out += line + "\n";
    }
  }
  return out;
}

}  // namespace

int completion_verb(const Options& options) {
  const std::string shell = options.inputs.size() == 1 ? options.inputs.front() : "";
  if (shell == "bash") {
    print(bash_script());
  } else if (shell == "zsh") {
    // zsh runs bash completions unchanged.
    print(
        "# zsh completion of jevons: eval \"$(jevons completion zsh)\"\n"
        "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n" +
        bash_script());
  } else if (shell == "fish") {
    print(fish_script());
  } else {
    const std::vector<std::string> shells{"bash", "zsh", "fish"};
    throw Error(ErrorKind::usage, "completion", "unknown shell '" + shell + "'",
                did_you_mean(shell, shells));
  }
  return 0;
}

}  // namespace jevons::cli

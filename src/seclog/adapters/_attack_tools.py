"""Attack tools that name themselves in the user agent. Framework-free data, and one look-up that costs a dict
access.

Source of the names: OWASP Core Rule Set 4, `rules/scanners-user-agents.data` (rule 913100, kept by hand);
burp, dirsearch, webinspect and zap are not in that list and stand here by general knowledge. General HTTP
clients (curl, python-requests, Go-http-client, headless browsers) are left out on purpose: honest
programs call APIs with them.
"""

from typing import Final

# What is looked for in the lower-cased user agent -> the tool's name. Each is a product's own name that no
# browser, search engine or honest library carries; a name that is also a word (hydra, vega) stands with what
# surrounds it.
TOKENS: Final[dict[str, str]] = {
    "acunetix": "acunetix",
    "appscan": "appscan",
    "appspider": "appspider",
    "arachni": "arachni",
    "bfac": "bfac",
    "burp suite": "burp",
    "burpcollaborator": "burp",
    "burpsuite": "burp",
    "cmsmap": "cmsmap",
    "commix": "commix",
    "detectify": "detectify",
    "dirbuster": "dirbuster",
    "dirsearch": "dirsearch",
    "dotdotpwn": "dotdotpwn",
    "droopescan": "droopescan",
    "feroxbuster": "feroxbuster",
    "fimap": "fimap",
    "fuzz faster": "ffuf",
    "ghauri": "ghauri",
    "gobuster": "gobuster",
    "havij": "havij",
    "(hydra)": "hydra",
    "ironwasp": "ironwasp",
    "jbrofuzz": "jbrofuzz",
    "joomscan": "joomscan",
    "jorgee": "jorgee",
    "jsql": "jsql",
    "l9explore": "leakix",
    "l9tcpid": "leakix",
    "masscan": "masscan",
    "n-stalker": "n-stalker",
    "nessus": "nessus",
    "netsparker": "netsparker",
    "nettacker": "nettacker",
    "nikto": "nikto",
    "nmap": "nmap",
    "nuclei": "nuclei",
    "openvas": "openvas",
    "qualysguard": "qualys",
    "skipfish": "skipfish",
    "sqlmap": "sqlmap",
    "sqlninja": "sqlninja",
    "sstimap": "sstimap",
    "tsunamisecurityscanner": "tsunami",
    "vega/": "vega",
    "w3af": "w3af",
    "wapiti": "wapiti",
    "webinspect": "webinspect",
    "wfuzz": "wfuzz",
    "whatweb": "whatweb",
    "wpscan": "wpscan",
    "xsser": "xsser",
    "xsstrike": "xsstrike",
    "zaproxy": "zap",
    "zgrab": "zgrab",
    "zmeu": "zmeu",
}

_MAX_AGENT: Final = 512  # a tool names itself early; what follows is ballast
_MEMO_CAP: Final = 2048  # user agents come from clients: the memo may not grow with them
_memo: dict[str, str] = {"": ""}

known_tool: Final = _memo.get
"""Return the tool that a user agent (or "") was found to name, "" if none, None if nobody has looked. A bound method, not
a function around it: it stands in the way of every request."""


def tool_of(user_agent: str | None) -> str | None:
    """Return the attack tool that a user agent names, or None.

    Safe from threads: the worst that a race does is to look twice.

    Args:
        user_agent: the header as received, of any length.
    """
    if not user_agent:
        return None
    known = _memo.get(user_agent)
    return _look(user_agent) if known is None else known or None


def _look(user_agent: str) -> str | None:
    lowered = user_agent[:_MAX_AGENT].lower()
    found = next((tool for token, tool in TOKENS.items() if token in lowered), "")
    if len(user_agent) <= _MAX_AGENT:
        if len(_memo) >= _MEMO_CAP:
            _memo.clear()
            _memo[""] = ""
        _memo[user_agent] = found
    return found or None

//! What agents really send, in their forms (shortened), and the words of the user in it; and what must not be touched.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Message, Prompt, Role};

const LIMIT: usize = 2 << 20;

fn check(text: &str, expected: &str) {
    assert_eq!(&*Prompt::from_text(text, LIMIT).unwrap().text(), expected, "of {text}");
}

#[test]
fn claude_code() {
    check(
        "<system-reminder>\nAs you answer the user's questions, you can use the following context:\n# claudeMd\nUse \
         tabs.\n</system-reminder>\n\nWhy does the login test fail?\n\n<system-reminder>\nThe TodoWrite tool has not been \
         used recently.\n</system-reminder>",
        "Why does the login test fail?",
    );
    check(
        "<ide_opened_file>The user opened the file /repo/plan.md in the IDE. This may or may not be related to the \
         current task.</ide_opened_file>\n\nfirst verify if the plan is okay",
        "first verify if the plan is okay",
    );
    check("<ide_selection>let x = 1;</ide_selection>what does this do?", "what does this do?");
    check(
        "<command-message>review is running…</command-message>\n<command-name>/review</command-name>\n\
         <command-args>look at the parser above all</command-args>",
        "look at the parser above all",
    );
    // Nothing of the user's own: the original is better than nothing.
    let output = "<local-command-stdout>Set model to x</local-command-stdout>";
    check(output, output);
}

#[test]
fn cline_and_those_that_come_from_it() {
    check(
        "<task>\ntell me about this project\n</task>\n<environment_details>\n# VSCode Visible Files\n(No visible \
         files)\n\n# Current Mode\nPLAN MODE\n</environment_details>",
        "tell me about this project",
    );
    check(
        "<task>\nFix 'src/a.rs' (see below for file content)\n</task>\n\n<file_content path=\"src/a.rs\">\nfn main() { \
         // <task>not this</task>\n}\n</file_content>\n<environment_details>x</environment_details>",
        "Fix 'src/a.rs' (see below for file content)",
    );
    check(
        "[attempt_completion] Result:\nThe user has provided feedback on the results. Consider their input to continue \
         the task.\n<feedback>\nshorten it\n</feedback>\n<environment_details>\n# Current Cost\n$0.15\n\
         </environment_details>",
        "shorten it",
    );
    check("<user_message>\nuse Postgres instead\n</user_message>", "use Postgres instead");
}

#[test]
fn cursor() {
    check(
        "<additional_data>\nBelow are some potentially helpful pieces of information.\n<attached_files>\n<file_contents \
         path=\"a.ts\">\nexport const a = '<user_query>';\n</file_contents>\n</attached_files>\n</additional_data>\n\n\
         <user_query>\nrename a to b everywhere\n</user_query>",
        "rename a to b everywhere",
    );
    check(
        "<timestamp>Thursday, Aug 27, 2026, 11:59 PM (UTC+8)</timestamp>\n<user_query>tidy the env files</user_query>",
        "tidy the env files",
    );
}

#[test]
fn copilot_and_codex() {
    check(
        "<environment_info>\nThe user's current OS is: Linux\n</environment_info>\n<context>\nThe current date is \
         2026-03-01.\n</context>\n<reminderInstructions>\nYou are an agent.\n</reminderInstructions>\n<userRequest>\n\
         explain this regex (See <attachments> above for file contents.)\n</userRequest>",
        "explain this regex (See <attachments> above for file contents.)",
    );
    check(
        "# Context from my IDE setup:\n\n## Active file: src/pay.ts\n\n## Open tabs:\n- pay.ts: src/pay.ts\n\n## My \
         request for Codex:\nadd retry to charge\n",
        "add retry to charge",
    );
    check(
        "# Files mentioned by the user:\n\n## a.png: /tmp/a.png\n\n## My request for Codex:\nFix this image.\n\n<image \
         name=[Image #1] path=\"/tmp/a.png\">\n</image>",
        "Fix this image.",
    );
}

#[test]
fn gemini_cli_and_open_web_ui() {
    check(
        "Summarise @notes.md in three lines\n--- Content from referenced files ---\nContent from @notes.md:\n# Notes\n\
         <user_query>no</user_query>\n--- End of content ---",
        "Summarise @notes.md in three lines",
    );
    check(
        "### Task:\nRespond to the user query using the provided context.\n\n<context>\n<source id=\"1\">Opening \
         hours: 9 to 5.</source>\n</context>\n\n<user_query>\nWhen do you open?\n</user_query>\n",
        "When do you open?",
    );
}

#[test]
fn attachments_on_lines_of_their_own_go() {
    check("<file path=\"a.rs\">\nfn main() {}\n</file>\nWhat is wrong here?", "What is wrong here?");
    check("<documents>\n<document>\nA long report\n</document>\n</documents>\n\nSummarise.", "Summarise.");
    check("Which one is newer?\n<file>\na\n</file>\n<file>\nb\n</file>", "Which one is newer?");
}

#[test]
fn what_only_looks_alike_stays() {
    for text in [
        "What does <system-reminder> mean in Claude Code?",
        "Why is </environment_details> there, and no <environment_details>?",
        "Do not answer <task>",
        "Strip `<system-reminder>x</system-reminder>` from a string in Python",
        "My parser breaks on this:\n```xml\n<system-reminder>\nhello\n</system-reminder>\n```\nWhy?",
        "~~~\n<file>\nx\n</file>\n~~~\nexplain",
        "How do I nest <context>a</context> in <file>b</file> with XSLT?",
        "<Context path=\"/app\">\n  <Resource/>\n</Context>\nexplain this Tomcat configuration",
        "<html>\n<body>hello</body>\n</html>\nmake it blue",
        "if a < b and c > d",
        "[1, 2] Result: why is it not sorted?",
        "Called the doctor today, what should I ask him?",
        "a list of tasks: <task>wash</task> <task>cook</task>",
        "<instructions>Translate to French.</instructions>\n<text>Good morning</text>",
    ] {
        check(text, text);
    }
}

#[test]
fn odd_nesting_does_no_harm() {
    check("<file>\n<file>\na\n</file>\nb\n</file>\nask", "ask");
    check("<system-reminder>a<system-reminder>b</system-reminder>\nask", "<system-reminder>a\nask");
    check("</system-reminder>ask", "</system-reminder>ask");
    check("<user_query><user_query>ask</user_query></user_query>", "<user_query>ask</user_query>");
    check("<user_query> </user_query>\nask", "<user_query> </user_query>\nask");
    check("<attachments><user_query>old</user_query></attachments>\nask", "ask");
    check(
        "quote:\n```\ncode\n```\n<system-reminder>\nlet ``` be\n</system-reminder>\nask",
        "quote:\n```\ncode\n```\n\nask",
    );
}

#[test]
fn turns_without_words_of_the_user_are_passed_over() {
    let turns = [
        Message::user("Why is the build red?\n<system-reminder>x</system-reminder>"),
        Message::new(Role::Assistant, "I will look."),
        Message::user("[read_file for 'ci.yml'] Result:\nname: ci\n<environment_details>y</environment_details>"),
        Message::new(Role::Assistant, "And this one."),
        Message::new(Role::Tool, "a thousand lines"),
        Message::user("<tool_result>\nok\n</tool_result>"),
        Message::user("<system-reminder>Be brief.</system-reminder>"),
    ];
    assert_eq!(&*Prompt::from_messages(&turns, LIMIT).unwrap().text(), "Why is the build red?");
    let last = turns.last().cloned().unwrap();
    let alone = Prompt::from_messages(std::slice::from_ref(&last), LIMIT).unwrap();
    assert_eq!(*alone.text(), *last.text);
}

#[test]
fn a_megabyte_of_anything_is_soon_read() {
    let pieces = [
        "<",
        "<file>",
        "</file>",
        "<file>\n</file>\n",
        "<file>x</file>",
        "`<file></file>",
        "```\n",
        "<a b=",
        "[",
        "<user_query>",
        "<user_query>x</user_query>",
        "`<user_query>x</user_query>",
        "</user_query>",
        " ",
        "\n",
        "`",
        "## My request for Codex:",
        "\n## My request for Codex:\n",
        "--- Content from referenced files ---\n",
        "é<é>",
    ];
    for piece in pieces {
        let text = piece.repeat((1 << 20) / piece.len());
        let begun = Instant::now();
        let _ = Prompt::from_text(&format!("{text}x"), LIMIT).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(3), "{piece:?} takes {:?}", begun.elapsed());
    }
}

proptest! {
    #[test]
    fn the_words_are_never_blank_and_never_longer(
        parts in prop::collection::vec(
            prop_oneof![
                "</?(system-reminder|file|user_query|task|context|b)( x=\"1\")?>",
                "[`~]{1,4}",
                "\n{1,2}",
                "## My request for Codex:",
                "--- (Content from referenced files|End of content) ---",
                "\\[read_file\\] Result:",
                "\\PC{0,8}",
            ],
            1..40,
        ),
    ) {
        let text = parts.concat();
        if let Ok(prompt) = Prompt::from_text(&text, LIMIT) {
            let words = prompt.text();
            prop_assert!(!words.trim().is_empty());
            prop_assert!(words.len() <= text.len());
        }
    }
}

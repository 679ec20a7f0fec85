//! Why somebody is not in a room, or was not heard.

/// A table of codes, each with where it is told and what it means.
macro_rules! codes {
    ($($name:ident = $text:literal, $place:literal, $meaning:literal;)*) => {
        /// What a session is refused about rooms and messages.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            /// The stable text.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// All of them, as the page of the protocol lists them.
            #[cfg(test)]
            const LISTED: &'static [(&'static str, &'static str)] = &[$(($text, $place)),*];
        }
    };
}

codes! {
    BadRoom = "bad_room", "`over`, `reason`", "Not a name that a room can have.";
    Forbidden = "forbidden", "`over`, `reason`", "The token does not cover the room or the person, there or not.";
    TooMany = "too_many", "`over`", "The session is in as many rooms as it may be.";
    RoomFull = "room_full", "`over`", "As many members are in the room as may be, or their states are too large.";
    TooManyRooms = "too_many_rooms", "`over`", "Somebody is in as many rooms of the tenant as may be.";
    StateTooLarge = "state_too_large", "`over`", "A state over its limit.";
    Replaced = "replaced", "`over`", "The same client has entered in another session.";
    RateLimited = "rate_limited", "`reason`", "The session sends more than it may.";
    NotInRoom = "not_in_room", "`reason`", "The sender is not in the room.";
    MessageTooLarge = "message_too_large", "`reason`", "A message over its limit.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::rows;

    #[test]
    fn the_page_of_the_protocol_lists_every_code_with_its_place() {
        let listed: Vec<(String, String)> = rows("Rooms and messages");
        let expected: Vec<(String, String)> =
            Code::LISTED.iter().map(|(code, place)| ((*code).to_owned(), (*place).to_owned())).collect();
        assert_eq!(listed, expected);
    }
}

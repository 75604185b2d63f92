#include <cmark-gfm-core-extensions.h>
#include <cmark-gfm.h>

#include <cstring>
#include <mutex>

#include "data/text/markup.h"
#include "data/text/parser_memory.h"

namespace dropforge::data {

namespace {

thread_local ParserMemory* memory_of_parser = nullptr;  // cmark's allocator has no argument of its caller's

void* allocate_zeroed(size_t count, size_t size) {
    return std::memset(memory_of_parser->allocate(count * size), 0, count * size);
}
void* resize(void* block, size_t bytes) { return memory_of_parser->resize(block, bytes); }
void free_block(void* block) { memory_of_parser->free(block); }

/// What makes a difference to text; autolinks make none.
constexpr const char* kExtensions[] = {"table", "strikethrough", "tasklist"};

std::string_view render(std::string_view source, cmark_mem* allocator) {
    cmark_parser* parser = cmark_parser_new_with_mem(CMARK_OPT_DEFAULT, allocator);
    for (const char* name : kExtensions)
        cmark_parser_attach_syntax_extension(parser, cmark_find_syntax_extension(name));
    cmark_parser_feed(parser, source.data(), source.size());
    cmark_node* document = cmark_parser_finish(parser);
    return cmark_render_html_with_mem(document, CMARK_OPT_UNSAFE, cmark_parser_get_syntax_extensions(parser),
                                      allocator);
}

std::string html_of(std::string_view source) {
    // An extension changes the library's table of special characters for as long as a parser with it runs.
    static std::mutex one_parser;
    const std::scoped_lock lock(one_parser);
    cmark_gfm_core_extensions_ensure_registered();
    ParserMemory memory(source.size());
    memory_of_parser = &memory;
    cmark_mem allocator{allocate_zeroed, resize, free_block};
    std::string_view html;
    memory.run([&] { html = render(source, &allocator); });
    return std::string(html);
}

}  // namespace

std::string markdown_text(std::string_view source) {
    if (source.size() > kLongestMarkup) throw MarkupLimit("it is longer than {} MB", kLongestMarkup >> 20);
    return html_text(html_of(source));  // which has the raw HTML too
}

}  // namespace dropforge::data
